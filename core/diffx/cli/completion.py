"""`diffx completion SHELL`: code that lets a shell complete verbs, plugins, tasks, presets and option names."""

from __future__ import annotations

from collections.abc import Sequence

from diffx.cli.words import Parser

# Each hands the line up to the cursor to `diffx _complete`, which answers with whole words. bash alone splits words
# at "=", so there the part up to it is taken off again.
SCRIPTS = {
    "bash": """_diffx() {
    local line="${COMP_LINE:0:COMP_POINT}" current
    current="${line##* }"
    local prefix=""
    [[ "$current" == *=* && "$COMP_WORDBREAKS" == *=* ]] && prefix="${current%%=*}="
    local IFS=$'\\n'
    COMPREPLY=($(diffx _complete "$line" 2>/dev/null))
    COMPREPLY=("${COMPREPLY[@]#"$prefix"}")
    [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" == *= ]] && compopt -o nospace
}
complete -o default -F _diffx diffx
""",
    "zsh": """#compdef diffx
_diffx() {
    local -a words_found
    words_found=("${(@f)$(diffx _complete "${LBUFFER}" 2>/dev/null)}")
    compadd -Q -S '' -- ${words_found:#}
}
compdef _diffx diffx
""",
    "fish": """complete -c diffx -f -a '(diffx _complete (commandline -cp) 2>/dev/null)'
""",
}

USE = {
    "bash": 'put  eval "$(diffx completion bash)"  in ~/.bashrc',
    "zsh": 'put  eval "$(diffx completion zsh)"  in ~/.zshrc, after compinit',
    "fish": "diffx completion fish > ~/.config/fish/completions/diffx.fish",
}


def main(words: Sequence[str]) -> int:
    lines = "\n".join(f"  {shell:<6}{how}" for shell, how in USE.items())
    parser = Parser(
        prog="diffx completion", description="print completion code for a shell", epilog=f"to use it:\n{lines}"
    )
    parser.add_argument("shell", choices=sorted(SCRIPTS))
    print(SCRIPTS[parser.parse_args(list(words)).shell], end="")
    return 0
