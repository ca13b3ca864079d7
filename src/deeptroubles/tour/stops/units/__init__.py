"""What happens inside of it?"""
