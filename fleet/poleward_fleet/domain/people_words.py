"""What the fleet refuses around rights, accounts, tokens, keys and second persons, in English.

By key; {values} are filled in. Not their translation (adapters/web/texts/people_words.py).
"""

PEOPLE_WORDS: dict[str, str] = {
    # Rights.
    "may_not": "{person} may not {permission}; this needs one of: {roles}",
    "token_not_for": "this API token of {person} is not for {permission}; make one with that scope",
    "only_in": "{person} may do this in {area} only",
    "no_area": "area {area} does not exist",
    # Accounts.
    "no_account": "account {account} does not exist",
    "account_name": "an account name has 1 to 64 printable characters without spaces",
    "account_roles": "an account has one or more of the roles {roles}",
    "needs_area": "name an area: yours is {area}",
    "change_own": "another administrator has to change your own account",
    "remove_own": "another administrator has to remove your own account",
    "never_password": "{person} never signs in with a password of ours",
    "beyond_own": "you cannot give what you do not have: {permissions}",
    "no_session": "session {number} does not exist",
    "password_length": "a password has at least {least} characters",
    "old_password": "the old password is wrong",
    "password_elsewhere": "this account signs in elsewhere; change the password there",
    # API tokens.
    "no_token": "API token {number} does not exist",
    "which_token": "name a token by its number, or an account",
    "token_makes_token": "sign in to make a token; a token cannot make one",
    "approves_for_other": "only {person} can make a token that approves in their name",
    "token_scopes": "a token is for one or more of {permissions}",
    "token_for_nothing": "a token for nothing is no use",
    "beyond_account": "the account itself may not {permissions}",
    "token_label": "a label has at most {most} printable characters",
    "token_days": "a token is valid for 1 to {most} days",
    "token_rate": "a token makes 1 to {most} calls a second, or 0 for any",
    # Second persons.
    "second_needed": "{action} ({subject}) needs a second person: request {number} waits for them "
    "(`poleward approval approve {number}`); when they have approved, do the same again",
    "no_request": "request {number} does not exist",
    "own_request": "request {number} is your own; a second person has to decide",
    "not_own_request": "request {number} is {person}'s to withdraw",
    "request_settled": "request {number} is {state} already",
    "decision": "a request is approved, rejected or withdrawn",
    # Keys.
    "no_key": "no release key {key}; `poleward keys list` shows them",
    "key_revoked": "release key {key} was revoked by {person}",
    "key_id": "'{text}' is no key id",
    "revoked_why": "say why the key is revoked; the second person reads it",
    "no_version": "{version} is no version such as 1.2.3",
    # Forms.
    "whole_number": "'{text}' is no number",
}
