"""Use inside other recommender libraries: a module per host, which needs that host installed.

Nothing here is imported by the rest of the package, and no host is a dependency of it. The pages in
``docs/integrations/`` say how each is used and with which version of the host it was proven.
"""
