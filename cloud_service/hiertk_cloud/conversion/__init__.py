"""Making files of the trained model: both sides rebuilt, given weights, and written.

It runs in a process of its own (`python -m hiertk_cloud.conversion`): the exporter changes state
that all of torch shares, building a network draws random numbers that the trainer's are drawn from,
and what it takes of memory is given back.
"""
