"""Networks: trunks, all-goals heads, actors, critics, feature extractors, and the policies made of them."""
