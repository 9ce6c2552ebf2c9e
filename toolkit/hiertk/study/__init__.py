"""Studies: experiments on the system's own parts, with results that are kept and a page of them."""
