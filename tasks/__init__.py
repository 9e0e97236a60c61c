"""The steps of the pipeline: thin Prefect tasks over kernels and infra."""
