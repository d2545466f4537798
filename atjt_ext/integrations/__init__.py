"""Use inside other recommender libraries: one module per host, which needs that host installed.

The pages in ``docs/integrations/`` name the tested version of each host.
"""
