"""The local HTTP endpoint: a robot's own program posts images, asks for predictions, corrects them.

`server` is imported where there is an endpoint, and Starlette and uvicorn by its thread, once it
serves: a device without one need not spend the memory.
"""
