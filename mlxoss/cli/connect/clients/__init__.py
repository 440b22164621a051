"""The clients whose settings ``mlxoss connect`` knows, a file for each or for a few alike."""
