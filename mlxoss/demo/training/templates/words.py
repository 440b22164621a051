"""The closed lists that the training conversations draw their slots from."""

from __future__ import annotations


def _words(text: str) -> list[str]:
    return text.split()


CITIES = [
    *_words(
        "Paris London Berlin Madrid Rome Tokyo Delhi Mumbai Sydney Boston Chicago Dallas Denver "
        "Austin Houston Miami Seattle Toronto Shanghai Singapore Dubai Amsterdam Barcelona "
        "Manchester Liverpool Oxford Atlanta Phoenix Detroit Philadelphia Washington Oslo Vienna "
        "Lisbon Dublin Athens Prague Warsaw Moscow Cairo Montreal Vancouver Lima Beijing Seoul "
        "Bangkok Istanbul Nairobi Lagos Stockholm Copenhagen Helsinki Brussels Zurich Geneva "
        "Munich Hamburg Frankfurt Milan Venice Naples Porto Budapest Glasgow Edinburgh Bristol "
        "Cambridge Lyon Kyoto Osaka Melbourne Perth Auckland Portland"
    ),
    "San Francisco",
    "New York",
    "Los Angeles",
    "Hong Kong",
    "Cape Town",
]

NAMES = _words(
    "Ada Alan Grace Anna Ben Carl David Emma Eva Frank George Jack James Jane John Julia Kate "
    "Laura Leo Lisa Lucy Maria Mark Mary Max Oscar Paul Peter Sam Sara Simon Thomas Tim Tom "
    "Victor Alice Bob Charlie Dave Carol"
)

ECHO_WORDS = _words(
    "red green blue yellow black white one two three four five six seven eight nine ten apple "
    "banana cat dog bird fish house tree water fire sun moon star sky sea hello world test ping "
    "pong good morning night day red big small fast slow old new hot cold alpha beta gamma "
    "delta north south east west spring summer winter"
)

CONDITIONS = _words(
    "sunny cloudy rainy windy clear foggy snowy warm cold hot dry wet mild stormy overcast"
)

# Only ever inside questions that the model is to decline: mostly ids without a row of their own.
OTHER_WORDS = _words(
    "poem story song essay letter recipe code program function python list email summary plan "
    "history science music art love war king queen river mountain forest garden book movie game "
    "team player school teacher student doctor nurse engineer lawyer market price money bank "
    "stock company product design paper theory quantum gravity energy planet ocean animal plant "
    "flower bread cheese coffee tea wine beer pasta pizza rice soup train car plane boat bicycle "
    "write translate summarise describe compare create make build draw fix find "
    "want need think know "
    "people child friend family mother father brother sister life death year month week "
    "computer internet network server database algorithm sorting tree graph matrix "
    "prime factor equation proof capital president country language French German Spanish "
    "Latin Python Rust Java best worst biggest smallest longest previous "
    "difference example reason idea problem question "
    "joke riddle haiku sonnet limerick dragon castle princess robot alien ghost detective"
)

NUMBER_LIMIT = 20

FILES = _words(
    "README.md main.py notes.txt hello.py app.py index.html package.json config.json test.py "
    "Makefile"
)

COMMANDS = [
    *_words("ls pwd date whoami make"),
    "ls -la", "git status", "git log", "git diff", "npm test", "python main.py", "echo hello",
]  # fmt: skip
