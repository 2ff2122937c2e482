"""The provisioner daemon: takes jobs from the queue and runs each in a process of its own.

``loop`` claims and keeps the leases alive, ``supervisor`` looks after one job, ``runner`` is the job's
process, ``client`` is all that a daemon needs of the server; ``direct`` implements it on the database.
"""
