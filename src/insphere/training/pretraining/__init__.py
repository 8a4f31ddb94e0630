"""What an encoder learns about its samples before a head encloses them: one file for each form."""
