"""`python -m ultraface_deploy` is the same as the `ultraface-deploy` command."""

from ultraface_deploy.cli import main

if __name__ == "__main__":
    main()
