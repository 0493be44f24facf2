"""Refusals around rights, accounts, tokens, keys and second persons, in Chinese.

Their English is in domain/people_words.py. Not labels and headings (people.py, trust.py).
"""

from poleward_fleet.domain.people_words import PEOPLE_WORDS

_CHINESE = {
    "may_not": "{person} 没有“{permission}”的权限，需要以下角色之一：{roles}",
    "token_not_for": "{person} 的这个 API 令牌不能用于“{permission}”，请生成包含该权限的令牌",
    "only_in": "{person} 只能在 {area} 内执行此操作",
    "no_area": "区域 {area} 不存在",
    "no_account": "账户 {account} 不存在",
    "account_name": "账户名称为 1 至 64 个可显示字符，不含空格",
    "account_roles": "账户须有以下角色中的一个或多个：{roles}",
    "needs_area": "请指定区域：您的区域是 {area}",
    "change_own": "您自己的账户须由其他管理员修改",
    "remove_own": "您自己的账户须由其他管理员删除",
    "never_password": "{person} 不使用本平台的密码登录",
    "beyond_own": "不能授予您自己没有的权限：{permissions}",
    "no_session": "会话 {number} 不存在",
    "password_length": "密码至少 {least} 个字符",
    "old_password": "旧密码不正确",
    "password_elsewhere": "此账户使用单点登录，请在对应平台修改密码",
    "no_token": "API 令牌 {number} 不存在",
    "which_token": "请指定令牌序号或账户",
    "token_makes_token": "请登录后再生成令牌；令牌不能生成令牌",
    "approves_for_other": "以 {person} 的名义审批的令牌只能由本人生成",
    "token_scopes": "令牌的权限为以下一项或多项：{permissions}",
    "token_for_nothing": "没有任何权限的令牌没有用处",
    "beyond_account": "该账户本身没有以下权限：{permissions}",
    "token_label": "用途最多 {most} 个可显示字符",
    "token_days": "令牌有效期为 1 至 {most} 天",
    "token_rate": "令牌每秒可调用 1 至 {most} 次，0 为不限",
    "second_needed": "“{action}”（{subject}）需要另一人批准：申请 {number} 正在等待审批"
    "（`poleward approval approve {number}`）；批准后请重新执行一次",
    "no_request": "申请 {number} 不存在",
    "own_request": "申请 {number} 是您自己提交的，须由另一人审批",
    "not_own_request": "申请 {number} 只能由 {person} 撤回",
    "request_settled": "申请 {number} {state}",
    "decision": "申请只能批准、驳回或撤回",
    "no_key": "没有签名密钥 {key}；可用 `poleward keys list` 查看",
    "key_revoked": "签名密钥 {key} 已由 {person} 吊销",
    "key_id": "“{text}”不是密钥标识",
    "revoked_why": "请填写吊销理由，供审批人查看",
    "no_version": "{version} 不是版本号，应形如 1.2.3",
    "whole_number": "“{text}”不是整数",
}
# key -> (English, Chinese).
TEXTS: dict[str, tuple[str, str]] = {
    f"words.{key}": (english, _CHINESE[key]) for key, english in PEOPLE_WORDS.items()
}
