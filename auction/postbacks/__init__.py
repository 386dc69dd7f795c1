"""Postbacks out: sellers are told what becomes of their leads, in order, again and again until they have heard it."""
