"""Decide: what people make of an interview. So far their notes."""
