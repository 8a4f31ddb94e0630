"""What encloses the normals in the space of representations: one file for each kind."""
