"""The domain: people, stages, rules, audit, jobs, keyholder, command line."""
