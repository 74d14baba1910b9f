"""The Sendmail milter protocol, version 6, as the MTA's side speaks it: packets and values, no IO.

There is no RFC; what is written down is Sendmail's libmilter (include/libmilter/mfdef.h).
"""
