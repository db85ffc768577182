"""What the chats tell: stories as turns with slots, each with the ways to sum it up.

`a` and `b` carry a story; a turn of `c` or `d` makes the chat one of three or four people. A slot
`{day2}` is another draw of the kind `day`.
"""

from dataclasses import dataclass

from tunebench.demo.grammar import phrases, words


@dataclass(frozen=True)
class Story:
    """Turns (`speaker: line | another wording`) and summaries of the same facts."""

    turns: tuple[str, ...]
    summaries: tuple[str, ...]
    asks: tuple[tuple[str, str], ...]  # questions for pretraining, with their answers


ACTIVITIES = phrases(
    "play chess | see the new exhibition | practise Spanish | watch the match | take photos | "
    "have lunch | go running | rehearse the play | study for the exam | choose a carpet | feed "
    "the ducks | try the new pizza | paint the fence | sort the books | plan the trip | drink "
    "coffee | go swimming | repair the boat"
)
THINGS = phrases(
    "bicycle | tent | drill | ladder | projector | suitcase | violin | sewing machine | camera "
    "| blender | sleeping bag | dictionary | lawnmower | guitar | raincoat | microscope | canoe "
    "| toolbox"
)
PURPOSES = phrases(
    "the weekend | a wedding | the school play | a camping trip | moving house | a birthday "
    "party | the garden | a talk at work | the holidays | the village fair"
)
GIFTS = phrases(
    "a scarf | a watch | a plant | a cookbook | a teapot | a lamp | a puzzle | tickets for the "
    "opera | a backpack | a box of tea | a clock | a globe"
)
CITIES = words("Lisbon Oslo Vienna Prague Dublin Athens Warsaw Geneva Madrid Turin")
VEHICLES = ("train", "bus", "plane", "ferry")
BROKEN = phrases(
    "heater | washing machine | dishwasher | doorbell | fridge | lift | shower | router | oven "
    "| alarm"
)
EXAMS = phrases("driving test | maths exam | job interview | piano exam | biology test | audition")
PETS = ("dog", "cat", "parrot", "rabbit", "turtle", "hamster")

# What a speaker says of themselves, and what the summary says of them.
REASONS = (
    ("I have to work", "has to work"),
    ("I am ill", "is ill"),
    ("my parents are visiting", "has the parents visiting"),
    ("I hurt my foot", "has a hurt foot"),
    ("I will be in Rome", "will be in Rome"),
    ("I have no money left", "has no money left"),
    ("I must look after the baby", "must look after the baby"),
    ("my car is at the garage", "has the car at the garage"),
)

SMALL_TALK = (
    "Good to hear from you!", "How are things?", "Just a second.", "Sorry, I was on the phone.",
    "Haha, you know me.", "What a week it has been.", "By the way, nice picture of you.",
    "I am still at work.", "Did you sleep well?", "It is raining here again.",
)  # fmt: skip

STORIES = (
    Story(
        (
            "a: Shall we {do} on {day}? | I want to {do}. Are you free on {day}?",
            "b: Sure, when and where? | I would love to. What time?",
            "a: At {time}, near the {place}. | Let us meet at the {place} at {time}.",
            "b: I will be there. | Fine with me.",
        ),
        (
            "{a} and {b} will {do} on {day}. They meet at the {place} at {time}.",
            "{a} and {b} are going to {do} on {day} at {time}. They meet at the {place}.",
        ),
        (
            ("Where do they meet?", "{place}"),
            ("Which day suits them?", "{day}"),
            ("What do they want to do?", "{do}"),
            ("Who made the plan?", "{a}"),
        ),
    ),
    Story(
        (
            "a: Can we meet at the {place} on {day2}? I want to {do}. | How about {day2} at the "
            "{place}? I would like to {do}.",
            "b: Not on {day2}, {reason}. Maybe {day}? | {day2} is bad, {reason}. I could do {day}.",
            "a: {day} is fine. At {time}? | Then {day} at {time}.",
            "b: Yes, {time} is good. | Agreed.",
        ),
        (
            "{b} {reason_told} on {day2}, so {a} and {b} will {do} on {day} at {time}.",
            "{a} and {b} will {do} on {day} at {time}, because {b} {reason_told} on {day2}.",
        ),
        (
            ("Which day do they drop?", "{day2}"),
            ("Which day suits them?", "{day}"),
            ("Where do they meet?", "{place}"),
            ("Who changed the plan?", "{b}"),
        ),
    ),
    Story(
        (
            "a: Are you coming on {day}? We {do} at the {place}. | On {day} we {do} at the "
            "{place}.",
            "b: Of course! | Yes, count me in.",
            "c: I cannot come, {reason}. | Without me, {reason}.",
            "a: What a pity, {c}. {b}, then at {time}. | Oh no, {c}! {b}, see you at {time}.",
        ),
        (
            "{a} and {b} will {do} at the {place} on {day} at {time}. {c} {reason_told} and cannot "
            "come.",
            "{c} {reason_told} and will not {do} with {a} and {b} on {day} at {time}.",
        ),
        (
            ("Who stays away?", "{c}"),
            ("Who comes along?", "{b}"),
            ("Where do they meet?", "{place}"),
            ("At what time do they meet?", "{time}"),
        ),
    ),
    Story(
        (
            "a: Do you still have your {thing}? I need one for {purpose}. | Could you lend me your "
            "{thing}? It is for {purpose}.",
            "b: Yes, you can have it until {day}. | No problem, but I need it back on {day}.",
            "a: When can I pick it up? | Great! Shall I come to your place?",
            "b: Come to the {place} at {time}. | I will bring it to the {place} at {time}.",
        ),
        (
            "{b} will lend {a} the {thing} for {purpose}. {a} will return it on {day}.",
            "{a} borrows the {thing} from {b} for {purpose} and gets it at the {place} at {time}.",
        ),
        (
            ("What does somebody borrow?", "{thing}"),
            ("Who lends it?", "{b}"),
            ("Who needs it?", "{a}"),
            ("What is it for?", "{purpose}"),
        ),
    ),
    Story(
        (
            "a: Do you still have your {thing}? I need one for {purpose}. | Could you lend me your "
            "{thing}? It is for {purpose}.",
            "b: I gave it to {c}. | Sorry, {c} has it.",
            "c: True, and {reason}. | It is here, but {reason}.",
            "a: Can I have it on {day}? | Could I get it by {day}?",
            "c: Yes, I will leave it at the {place}. | All right, fetch it at the {place}.",
        ),
        (
            "{b} has given the {thing} to {c}. {a} can get it on {day} at the {place}.",
            "{a} needs the {thing} for {purpose} and will get it from {c} at the {place} on {day}.",
        ),
        (
            ("What does somebody borrow?", "{thing}"),
            ("Who lends it?", "{c}"),
            ("Who needs it?", "{a}"),
            ("Where is it left?", "{place}"),
        ),
    ),
    Story(
        (
            "a: My {vehicle} from {city} gets in on {day} at {time}. | I arrive from {city} by "
            "{vehicle}, {day} at {time}.",
            "b: I would pick you up, but {reason}. | I cannot pick you up, {reason}.",
            "c: I can do it! | Then I will come with the car.",
            "a: Thanks, {c}. I will wait at the {place}. | {c}, you are a star. See you "
            "at the {place}.",
        ),
        (
            "{a} arrives from {city} on {day} at {time}. {c} will pick {a} up, as {b} "
            "{reason_told}.",
            "{c} will meet {a} at the {place} on {day}, when the {vehicle} from {city} gets in.",
        ),
        (
            ("Who arrives?", "{a}"),
            ("Who helps?", "{c}"),
            ("From which city?", "{city}"),
            ("By what means?", "{vehicle}"),
        ),
    ),
    Story(
        (
            "a: It is {c}'s birthday on {day}. Any ideas? | What can we give {c} on {day}?",
            "b: Perhaps {gift2}? | I thought of {gift2}.",
            "a: {c} has that already. What about {gift}? | Hm, I would rather take {gift}.",
            "b: Good idea. I will buy it at {time}. | Yes! I will get it at the {place}.",
        ),
        (
            "{b} will buy {gift} for the birthday of {c} on {day}.",
            "{a} and {b} will give {c} {gift} on {day}. {a} does not want {gift2}.",
        ),
        (
            ("Whose birthday is it?", "{c}"),
            ("What do they give?", "{gift}"),
            ("Which gift do they drop?", "{gift2}"),
            ("Who buys it?", "{b}"),
        ),
    ),
    Story(
        (
            "a: The {broken} at the {place} does not work. | The {broken} in the {place} is broken "
            "again.",
            "b: Since when? | Oh dear. Is it bad?",
            "a: Since {day2}. Can you come? | It began on {day2}. We need help.",
            "b: I will send {d} on {day}. | {d} can look at it on {day}.",
            "d: I will be there at {time}. | Yes, {day} at {time}.",
        ),
        (
            "The {broken} at the {place} has been broken since {day2}. {d} will repair it on {day} "
            "at {time}.",
            "{a} tells {b} of the broken {broken}. {d} will come to the {place} on {day}.",
        ),
        (
            ("What is broken?", "{broken}"),
            ("Who repairs it?", "{d}"),
            ("Since when?", "{day2}"),
            ("Who asks for help?", "{a}"),
        ),
    ),
    Story(
        (
            "a: I passed my {exam}! | Guess what, I passed the {exam}!",
            "b: Bravo! Let us celebrate on {day}. | Well done! A party on {day}?",
            "c: I failed mine on {day2}. | Lucky you. I failed on {day2}.",
            "a: Sorry, {c}. Come to the {place} with us. | Cheer up, {c}, and join us at the "
            "{place}.",
        ),
        (
            "{a} passed the {exam} and {c} failed it. They will celebrate at the {place} on {day}.",
            "{a} has passed the {exam}, but {c} failed on {day2}. {b} wants a party on {day}.",
        ),
        (
            ("Who passed?", "{a}"),
            ("Who failed?", "{c}"),
            ("Which exam is it?", "{exam}"),
            ("Who wants a party?", "{b}"),
        ),
    ),
    Story(
        (
            "a: Our {pet} is missing since {day2}. | Has anybody seen our {pet}? It ran away on "
            "{day2}.",
            "b: I saw it at the {place}. | There was a {pet} near the {place}.",
            "a: When was that? | Really? When?",
            "b: On {day} at {time}. | About {time}, on {day}.",
            "a: Then I will look there now. | I am on my way.",
        ),
        (
            "{a} lost a {pet} on {day2}. {b} saw it at the {place} on {day} at {time}.",
            "{b} saw the {pet} of {a} on {day} at {time}, so {a} will look at the {place}.",
        ),
        (
            ("Which animal is it?", "{pet}"),
            ("Who lost it?", "{a}"),
            ("Who saw it?", "{b}"),
            ("Where was it seen?", "{place}"),
        ),
    ),
)
