# bash completion for sciml:  source <(sciml completion bash)
# The line is cut at blanks only. Bash itself also cuts at '=', and would take an override such as
# +experiment=NAME for three words.
_sciml() {
    local upto=${COMP_LINE:0:COMP_POINT}
    local -a words
    IFS=$' \t\n' read -ra words <<< "$upto"
    local count=${#words[@]} current=""
    if [[ $upto == *[[:blank:]] ]]; then
        words+=("")
    else
        count=$((count - 1))
        current=${words[count]}
    fi
    local IFS=$'\n'
    # shellcheck disable=SC2207
    COMPREPLY=($(COMP_WORDS="$upto" COMP_CWORD=$count _SCIML_COMPLETE=complete_bash "$1" 2>/dev/null))
    if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]]; then
        compopt -o nospace
    fi
    # What stands before the last '=' is on the line already.
    if [[ $current == *=* && $COMP_WORDBREAKS == *=* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${current%"${current##*=}"}"}")
    fi
}
complete -o default -F _sciml sciml
