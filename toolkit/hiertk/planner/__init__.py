"""Where to cut: the runtime model, the selection, and the plan.

`plan.make_plan` and `plan.choose_split` are the way in.
"""
