"""Networks that read text: token ids in, one vector for each token out."""
