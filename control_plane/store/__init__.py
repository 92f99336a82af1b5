"""The SQL store: functions that take a connection and do one thing, a file a resource. SQLAlchemy's one home.

A caller opens `Database.read()` or `Database.write()` and composes functions inside; the transaction commits when
the block ends. Times come in as arguments.
"""
