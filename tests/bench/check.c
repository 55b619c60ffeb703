/* Counts what arrived of the lines that worker.c printed: `check BYTES FILE...` tells, a line for each process that
   printed them, its pid and how many of its lines are there, and at last `torn N` and `twice N`. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

enum { WRITERS = 4096 };

static struct writer { long pid, lines; uint8_t *seen; long room; } writers[WRITERS];
static long torn, twice;

static void count(long pid, long number) {
    struct writer *w = writers;
    while (w->pid && w->pid != pid)
        if (++w == writers + WRITERS) exit(1);
    w->pid = pid;
    if (number >= w->room) {
        long room = number * 2 + 1024;
        w->seen = realloc(w->seen, room);
        memset(w->seen + w->room, 0, room - w->room);
        w->room = room;
    }
    if (w->seen[number]++) twice++;
    else w->lines++;
}

static void look(const char *line, size_t size, size_t wanted) { /* PID NUMBER xxx, without the newline */
    char *end;
    long pid = strtol(line, &end, 10), number = 0;
    int whole = size == wanted && end > line && *end == ' ';
    if (whole) number = strtol(end + 1, &end, 10), whole = *end == ' ' && number > 0;
    for (const char *c = end + 1; whole && c < line + size; c++) whole = *c == 'x';
    if (whole) count(pid, number);
    else torn++;
}

int main(int argc, char **argv) {
    size_t wanted = argc > 1 ? strtoul(argv[1], NULL, 10) - 1 : 0;
    for (int i = 2; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        char *line = NULL;
        size_t room = 0;
        if (!file) return 1;
        for (ssize_t n; (n = getline(&line, &room, file)) > 0;) look(line, n - (line[n - 1] == '\n'), wanted);
        free(line);
        fclose(file);
    }
    for (struct writer *w = writers; w->pid; w++) printf("%ld %ld\n", w->pid, w->lines);
    printf("torn %ld\ntwice %ld\n", torn, twice);
}
