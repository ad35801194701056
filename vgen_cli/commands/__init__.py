"""One module a command, or a close group of commands: options in, recipe out, result printed.

asking: options → recipes · naming: clips → places · making: recipes → files · showing: facts → text ·
machine: what is here
"""
