"""`scrip prove`: hammer a running platform, disturb it, and compare every answer with ledger and event log.

asking.py    what is asked, and every answer that came
callers.py   callers over HTTP and Kafka, at once
tool.py      the Kafka tool they use
faults.py    kills and restarts
evidence.py  ledger and event log, read afterwards
judging.py   the comparison; pure
command.py   the command and its report
"""
