"""What Pulumi's SDK does by default, and what costs too much with hundreds of resources."""
