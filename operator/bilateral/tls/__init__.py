"""What the endpoint, the outbound client and a pod's client share of TLS, below all of them.

Sits on ``pki``. It opens no connection, knows no service and reads no clock.
"""
