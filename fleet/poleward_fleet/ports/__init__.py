"""What the services need of the outside: stores, keys, clocks.

Not implementations (adapters). Each store method is one transaction; methods that change
something on somebody's behalf take the audit entry and record it in the same transaction.
Any store method may raise UnavailableError when the database is away.
"""
