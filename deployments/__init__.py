"""What runs where and when: pools, deployments, automations, and the `sep` command."""
