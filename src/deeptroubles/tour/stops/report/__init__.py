"""What do you tell those who will use it?"""
