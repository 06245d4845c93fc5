"""The fault lab: a simulated city fed live into mirrored logs, one group of workers struck by a fault, one left in peace.

``scenarios.py`` is the table of faults; ``injuries/`` does the harm and proves that it was done; ``lab.py`` runs one
of them, or a chain of them, once; ``judge.py`` compares; ``table.py`` writes docs/reliability.md. ``make faults ONLY=zombie
TIMES=1`` runs one of them once.
"""
