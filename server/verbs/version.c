#include "server/verbs/connect.h"
#include "server/verbs/verb.h"

#include <stdio.h>

int verb_version(int argc, char **argv)
{
    if (!is_all_taken(&argc, argv, 0))
        return EXIT_USAGE;
    puts("sluice " SLUICE_VERSION);
    return 0;
}
