"""The vocabulary of the reviews: products, what one may say about them, and how."""

from tunebench.demo.grammar import phrases, words

# The aspects of a product, by the kind of phrase that fits them.
_BY_KIND = {
    "look": "screen design cover picture view room decor colour",
    "sound": "sound music voice speaker microphone",
    "people": "staff crew cast waiter guide driver host seller",
    "build": "handle strap lid zip hinge frame case lens bed chair plug lining",
    "pace": "delivery battery service check-in charging start",
    "content": "plot ending story menu manual dialogue script program map",
    "taste": "food breakfast coffee soup bread dessert wine",
    "money": "price bill ticket fee rent deal",
}
KIND = {aspect: kind for kind, aspects in _BY_KIND.items() for aspect in aspects.split()}

_ASPECTS = {
    "camera": "screen design lens battery manual price handle picture delivery start",
    "radio": "sound speaker design battery handle price manual delivery plug colour",
    "phone": "screen battery microphone case price voice charging design seller map",
    "laptop": "screen hinge lid battery price speaker charging manual case start",
    "backpack": "strap zip lining colour price design handle delivery seller frame",
    "suitcase": "handle lid zip lining price colour frame delivery seller design",
    "kettle": "lid handle plug design price manual start colour delivery seller",
    "hotel": "room view staff breakfast bed check-in bill decor service host",
    "hostel": "room host bed breakfast check-in fee decor view chair rent",
    "restaurant": "food waiter menu soup dessert wine bill decor service music",
    "cafe": "coffee bread breakfast music chair staff price service decor menu",
    "film": "plot ending cast music dialogue script picture story ticket sound",
    "play": "cast story ending dialogue decor ticket script voice music sound",
    "novel": "plot ending story cover dialogue price map design delivery script",
    "guidebook": "map cover design price menu manual story delivery colour seller",
    "tour": "guide driver program ticket map view food start service deal",
    "cruise": "crew room food view program music fee check-in wine deal",
    "concert": "sound music voice program ticket start staff view crew fee",
}
PRODUCTS = tuple(_ASPECTS)
ASPECTS = {product: tuple(aspects.split()) for product, aspects in _ASPECTS.items()}

GENERIC = {
    "positive": words(
        "good great excellent superb lovely fine splendid pleasant impressive solid delightful "
        "brilliant decent wonderful reliable charming admirable first-rate satisfying flawless "
        "remarkable welcome clever worthy"
    ),
    "negative": words(
        "bad awful terrible dreadful poor weak nasty dull disappointing shoddy horrible "
        "mediocre lousy unpleasant useless flawed tedious second-rate annoying hopeless "
        "wretched feeble clumsy sloppy"
    ),
}

# Several words change sides with the aspect: a short wait, a short life; cold wine, a cold welcome.
PHRASES = {
    "look": {
        "positive": phrases(
            "looks bright and clear | catches every eye | is a joy to look at | is as sharp as new"
            " | looks warm and tidy | has not faded"
        ),
        "negative": phrases(
            "looks dim and blurred | hurts the eye | is a sad sight | was scratched from day one"
            " | looks cold and bare | has faded"
        ),
    },
    "sound": {
        "positive": phrases(
            "fills the place | is warm and full | carries every word | never crackles"
            " | stays clear when it is loud | moved us to tears"
        ),
        "negative": phrases(
            "gave me a headache | is thin and hollow | swallows every word | crackles all day"
            " | is loud when it should be quiet | bored us to tears"
        ),
    },
    "people": {
        "positive": phrases(
            "went out of the way to help | had time for every question | smiled all day"
            " | knew us by name | was quick and kind | left nothing to complain about"
        ),
        "negative": phrases(
            "was nowhere to be found | had no time for questions | never smiled"
            " | forgot us twice | was rude and slow | left us standing in the cold"
        ),
    },
    "build": {
        "positive": phrases(
            "holds up well | feels firm and light | has survived two winters | does not wobble"
            " | fits like a glove | shows no sign of wear"
        ),
        "negative": phrases(
            "broke in a week | feels loose and cheap | did not survive the winter | wobbles"
            " | never fits | shows signs of wear"
        ),
    },
    "pace": {
        "positive": phrases(
            "took no time at all | was over in a minute | never let me down | keeps its promise"
            " | was quicker than I hoped | runs like clockwork"
        ),
        "negative": phrases(
            "took half a day | was over before noon | let me down twice | breaks its promise"
            " | was slower than I feared | runs late"
        ),
    },
    "content": {
        "positive": phrases(
            "kept me awake all night | surprised me on every page | is rich and easy to follow"
            " | leaves nothing out | stays in the mind | has something for everyone"
        ),
        "negative": phrases(
            "put me to sleep | surprised nobody | is thin and hard to follow"
            " | leaves half of it out | makes no sense | has nothing for anyone"
        ),
    },
    "taste": {
        "positive": phrases(
            "tasted fresh | was served hot | made me ask for more | is worth the trip alone"
            " | was rich without being heavy | tasted of home"
        ),
        "negative": phrases(
            "tasted stale | was served cold | made me feel ill | is worth no trip"
            " | was heavy without being rich | tasted of paper"
        ),
    },
    "money": {
        "positive": phrases(
            "is lower than elsewhere | is worth every penny | was fair | left money for more"
            " | held no surprise | is a bargain"
        ),
        "negative": phrases(
            "is higher than elsewhere | is a waste of every penny | was a rip-off"
            " | left us broke | held a nasty surprise | is a joke"
        ),
    },
}

VERDICTS = {
    "positive": (
        "I would choose this {product} again.",
        "Go and get one.",
        "Five stars from me.",
        "I can recommend the {product}.",
        "We will be back for more.",
        "It was worth the wait.",
    ),
    "negative": (
        "I would not choose this {product} again.",
        "Look for another one.",
        "One star from me.",
        "I cannot recommend the {product}.",
        "We will not be back.",
        "It was not worth the wait.",
    ),
}

SHOPS = words("shop market fair bookshop mall club magazine catalogue library school")
