"""The bins_cuts_dict, and what makes one."""
