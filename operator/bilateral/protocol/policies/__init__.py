"""What a partner may do here: the policy, the contract's document of it, and the decision.

Pure: no I/O, no clock. ``policy`` is what a policy says, ``documents`` the contract's YAML members
and back, ``decisions`` the one function that allows or denies, with ``scopes`` and ``calls`` for the
clamping of grants and the judging of one call.
"""
