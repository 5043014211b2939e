# Completion of isolate-run for bash. It asks the program, and so never has to change.

_isolate_run() {
  local words=() word line also='' glue='' kept='' cur i
  # bash takes = and : for words of their own; here they are parts of one.
  for ((i = 1; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if ((${#words[@]})) && [[ $glue || $word =~ ^[=:]+$ ]]; then
      words[-1]+=$word
    else
      words+=("$word")
    fi
    glue=''
    [[ $word =~ ^[=:]+$ ]] && glue=1
  done
  cur=${words[-1]-}
  # What readline does not replace.
  [[ $cur == *[=:]* ]] && kept=${cur%"${cur##*[=:]}"}
  COMPREPLY=()
  while IFS= read -r line; do
    case $line in
      :*) also=$line ;;
      *) word=${line%%$'\t'*}; COMPREPLY+=("${word#"$kept"}") ;;
    esac
  done < <("${COMP_WORDS[0]/#\~/$HOME}" complete -- "${words[@]}" 2>/dev/null)
  if ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *= ]]; then compopt -o nospace; fi
  case $also in
    :files) i=f ;;
    :directories) i=d ;;
    :programs) i=c ;;
    *) return ;;
  esac
  compopt -o filenames
  while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen "-$i" -- "${cur##*[=:]}")
}
complete -F _isolate_run isolate-run
