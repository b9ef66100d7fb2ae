# Completion of ollamafs(1) by fish; the program says what may come next.

function __ollamafs_complete
    set -l words (commandline -opc)
    set -l typed (commandline -ct | string unescape)
    set -l lines ($words[1] __complete $words[2..-1] "$typed" 2>/dev/null)
    set -l head (string split -m 1 ' ' -- $lines[1])
    set -l before "$head[2]"
    set -l path (string sub -s (math (string length -- "$before") + 1) -- "$typed")
    switch "$head[1]"
        case files
            __fish_complete_path "$path" | string replace -r -- '^' "$before"
        case directories
            __fish_complete_directories "$path" | string replace -r -- '^' "$before"
    end
    set -e lines[1]
    printf '%s\n' $lines
end

complete -c ollamafs -f -a '(__ollamafs_complete)'
