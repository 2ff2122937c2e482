"""The provisioner daemon: claims jobs from the queue and runs each in a separate process.

``loop`` claims jobs and extends leases, ``supervisor`` watches one job, ``runner`` is the process that runs it, forked
by the ``fork_server``. ``direct`` and ``remote`` implement ``protocol.client``, with the database and over HTTPS.
"""
