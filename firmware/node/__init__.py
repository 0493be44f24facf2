"""The pole's application: runs the lamp alone, measures, reports, obeys and updates itself."""
