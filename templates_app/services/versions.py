def register_job_outcomes() -> None:
    pass
