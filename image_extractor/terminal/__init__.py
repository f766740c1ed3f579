"""What people see of commands: arguments, log lines, tables, errors."""
