"""Use inside other recommender libraries: one module per host, which needs that host installed.

No other part of the package imports these modules, and the package depends on no host. The pages in
``docs/integrations/`` show how to use each module, and with which version of the host it was
proven.
"""
