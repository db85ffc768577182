"""The vocabulary of the posts: what each topic talks of, what neighbours share, and how."""

from tunebench.demo.grammar import words

OWN = {
    "cycling": words(
        "saddle pedals handlebar derailleur spokes panniers mudguard velodrome peloton headset "
        "freewheel crank cassette tandem bicycle cyclist cadence kickstand"
    ),
    "motoring": words(
        "gearbox windscreen bumper dashboard motorway petrol ignition radiator sedan bonnet "
        "clutch exhaust mileage garage driver diesel carburettor headlights"
    ),
    "computing": words(
        "compiler kernel printer modem database password keyboard processor browser backup "
        "firewall laptop monitor desktop algorithm server spreadsheet disk"
    ),
    "music": words(
        "guitar violin drummer chorus melody orchestra concert singer piano trumpet songbook "
        "rhythm choir sonata bass flute composer harmony"
    ),
    "photography": words(
        "flash shutter portrait darkroom aperture print slide photographer zoom viewfinder "
        "frame snapshot model backdrop camera film wedding sepia"
    ),
    "astronomy": words(
        "galaxy comet telescope nebula planet asteroid eclipse meteor orbit supernova crater "
        "observatory satellite rocket gravity pulsar quasar spectrum"
    ),
    "sailing": words(
        "mast rudder keel anchor harbour skipper yacht deck regatta spinnaker lifeboat jib hull "
        "mooring crew cabin catamaran lighthouse"
    ),
    "cooking": words(
        "oven saucepan flour butter dough recipe frying onions gravy pastry dumplings sugar "
        "whisk roast pudding noodles broth cheese"
    ),
    "gardening": words(
        "compost lawn seedlings hedge tulips spade greenhouse roses pruning mulch soil "
        "wheelbarrow orchard weeds trellis bulbs lawnmower ivy"
    ),
    "medicine": words(
        "surgery vaccine diagnosis nurse antibiotics fever symptoms dosage hospital "
        "prescription infection patient asthma insulin clinic virus tablets therapy"
    ),
}

# Every topic shares words with the one before it and the one after it.
SHARED = {
    ("cycling", "motoring"): words(
        "brakes tyres gears chain bearings axle mechanic road puncture wheels"
    ),
    ("motoring", "computing"): words(
        "fan sensor cable cooling chip fuse connector wiring switch update"
    ),
    ("computing", "music"): words(
        "speakers mixer headphones keys files synthesizer playlist soundcard recording microphone"
    ),
    ("music", "photography"): words(
        "studio stage festival album exhibition lighting contrast band pose composition"
    ),
    ("photography", "astronomy"): words(
        "lens tripod exposure filter mirror focus image darkness moonlight pixels"
    ),
    ("astronomy", "sailing"): words(
        "compass horizon stars weather moon navigation tide night chart north"
    ),
    ("sailing", "cooking"): words("fish salt stove galley mussels knife rope lobster water steam"),
    ("cooking", "gardening"): words(
        "basil tomatoes pumpkin herbs potatoes garlic apples rhubarb beans thyme"
    ),
    ("gardening", "medicine"): words(
        "pollen allergy gloves rash mushrooms poison chamomile sting spray hygiene"
    ),
    ("medicine", "cycling"): words(
        "knee pulse muscles injury helmet training stamina ankle sprain diet"
    ),
}

COMMON = words(
    "weather weekend price shop manual club neighbour idea money holiday book picture box "
    "question work magazine"
)

FRAMES = tuple(
    frame.strip()
    for frame in """
has anyone here tried the {} together with the {}?
I have a question about {} and {}.
my {} gave up last week, right after the {}.
what do you do about {} in {month}?
{name} told me to look at the {} first, then at the {}.
there is a long thread on {} and another on {}.
I would rather talk about {} than about {}.
the real trouble began with the {}.
can somebody explain the {} to a beginner?
thanks to {name} for the advice on {} and {}.
I read that {} and {} go together, is that so?
the old {} still works, but the {} does not.
for sale: {}, hardly used, with {}.
I spent all of {month} on the {} and learned a lot.
nobody in our club knows much about {}, let alone {}.
where can I get {} without paying too much for {}?
last night we had a long talk on {}, {} and {}.
do not forget the {} before you touch the {}.
as {name} wrote, the {} matters more than the {}.
a friend swears by {}, and I swear at it.
the shop had {} but no {}.
is it true that {} will ruin the {}?
I took a picture of the {} next to the {}.
please no more jokes about {}.
my first lesson was about {}, the second about {}.
in {month} I found a cheap {} near the {}.
does the {} need a new {} every year?
we compared {} with {}, and {name} kept the notes.
it all depends on the {} and on the {}.
I keep the {} away from the {} since {month}.
""".strip().splitlines()
)
