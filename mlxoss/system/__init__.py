"""What machine this is: its memory, its chip, its build of the system."""
