"""Do all forms in which a run holds its model give the same answers?"""
