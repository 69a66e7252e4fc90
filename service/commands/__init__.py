"""What calls do, in the terms of the domain; one object per call or tight family."""
