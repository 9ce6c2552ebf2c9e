"""Several processes train one cloud partition: ranks that share the devices of a deployment.

Each rank has its own log and its own acks; a step joins the batches of all of them.
"""
