"""Talent: what is kept about a candidate over all their interviews. So far the résumé."""
