# Completion of isolate-run for fish. It asks the program, and so never has to change.

function __isolate_run_offers
    set -l words (commandline --tokenize --cut-at-cursor --current-process)
    set -l current (commandline --current-token --cut-at-cursor)
    for line in ($words[1] complete -- $words[2..-1] "$current" 2>/dev/null)
        switch $line
            case ':files'
                set -l before (string match --regex -- '^.*=' "$current")
                for file in (__fish_complete_path (string replace --regex -- '^.*=' '' "$current"))
                    echo "$before$file"
                end
            case ':directories'
                set -l before (string match --regex -- '^.*=' "$current")
                for file in (__fish_complete_directories (string replace --regex -- '^.*=' '' "$current"))
                    echo "$before$file"
                end
            case ':programs'
                __fish_complete_subcommand --fcs-skip=2
                __fish_complete_path "$current"
            case '*'
                echo $line
        end
    end
end

complete --command isolate-run --no-files --arguments '(__isolate_run_offers)'
