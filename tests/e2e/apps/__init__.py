"""Small Faust apps that tests run as processes of their own."""
